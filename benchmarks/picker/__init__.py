"""How well do trained pickers do, beside those of others?"""
