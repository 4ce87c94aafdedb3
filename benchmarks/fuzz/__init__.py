"""What happens when a file is not what it should be?"""
