"""What deserves attention: rules, the life of an alert, routing, delivery."""
