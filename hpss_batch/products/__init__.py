"""What people look at, listen to and train on."""
