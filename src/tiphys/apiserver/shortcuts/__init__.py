"""What requests that are like earlier ones are spared; nothing here changes what is answered."""
