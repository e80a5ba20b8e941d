"""What training does to photos before an encoder sees them, by chance; and what that really does to them."""
