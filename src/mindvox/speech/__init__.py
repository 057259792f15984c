"""Find the speech in a recording, and check whether it is good enough to tell who speaks."""
