"""How fast is it, beside what the machine can do?"""
