"""AuxSegNet whole: pseudo labels, samples, losses of a batch, training in rounds."""
