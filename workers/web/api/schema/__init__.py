"""What ``/v1`` says of itself: an operation is declared once, which makes its route and its description."""
