"""Pure values and rules of payments: no storage, web, network, clock or chance."""
