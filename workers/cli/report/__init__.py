"""`invoices report`: lines for the books."""
