"""Writers of exports, one a format; they know the apps' files and share no code with our readers."""
