"""How well does a search from examples do?"""
