"""Long-horizon tool execution (section 3.5): dialogues of twenty calls and more, each built on earlier answers."""
