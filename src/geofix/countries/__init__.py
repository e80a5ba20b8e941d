"""Which country a photo shows: scenes and countries looked at, routed, calibrated, scored and explained."""
