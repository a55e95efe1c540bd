"""`invoices doctor`: a file for each part that it looks at; `report` runs them side by side."""
