"""The same job as a careful team writes it without this project: see app.py."""
