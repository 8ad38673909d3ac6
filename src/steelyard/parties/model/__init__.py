"""What a party is: pure values, state machines and rules."""
