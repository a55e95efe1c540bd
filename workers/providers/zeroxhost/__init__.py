"""0xhost: the provider sets the amount and gives an address. Invoices are asked about one by one, or in pages of its
list."""
