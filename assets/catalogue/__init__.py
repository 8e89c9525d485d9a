"""The music itself: which tracks there are and what others say of them."""
