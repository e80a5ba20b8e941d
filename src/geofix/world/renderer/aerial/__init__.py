"""The parts of the view from above: cameras, planar patches and what they are painted with."""
