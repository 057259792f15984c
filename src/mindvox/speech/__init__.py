"""Where there is speech in a recording, and whether it is good enough to say who speaks."""
