"""Privacy: the vault of people's keys, pseudonyms, encryption of reversible fields, event ids. Of a value or an id, nothing leaves it in the clear."""
