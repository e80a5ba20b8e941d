"""Ways of learning an encoder: what a batch is and what is lowered; and the course that goes through them."""
