"""What people hear and do in the apps, as the apps send it."""
