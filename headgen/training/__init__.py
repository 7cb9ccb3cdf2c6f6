"""Training: data sets of face clips, the losses and recipes of the papers, Lightning modules."""
