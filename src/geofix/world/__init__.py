"""A procedural town: streets of textured buildings at known coordinates, photographed on request."""
