"""What makes an encoder good?"""
