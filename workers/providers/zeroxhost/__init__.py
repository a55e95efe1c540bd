"""0xhost: the provider sets the amount and gives an address; asked one by one, or in pages of its list."""
