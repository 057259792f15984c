"""People known by their voice: the store of speakers, search, enrolment and identification."""
