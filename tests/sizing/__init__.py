"""What orders weigh in PostgreSQL, what it takes to remove them again, and what that leaves behind."""
