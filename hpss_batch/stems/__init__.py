"""One track to audio files, from end to end in bounded memory."""
