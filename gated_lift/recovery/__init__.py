"""What `pipeline.recover` is made of: its arguments, what a network sees, what is believed of the answer."""
