"""What kind of place a photo shows: four scenes, and indoors, from the classes of Places365."""
