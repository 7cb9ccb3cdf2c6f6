"""Training data made here: public-domain portraits animated in 3D."""
