"""In which country a position lies, without a network: codes, names, borders, cells of the globe."""
