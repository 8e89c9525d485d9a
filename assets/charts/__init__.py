"""How tracks fare: what listening comes to, by hour and by day."""
