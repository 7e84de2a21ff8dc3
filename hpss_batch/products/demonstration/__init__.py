"""How does all of it look on music whose answer is known?"""
