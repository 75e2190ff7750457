"""The book: chapters executed and rendered, what is checked of them, and what this machine has of what they need."""
