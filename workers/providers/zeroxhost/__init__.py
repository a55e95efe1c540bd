"""0xhost: it sets the amount and gives an address; asked about one invoice at a time, or by pages of its list."""
