"""Tool-augmented planning (section 3.2): dialogues of thoughts, calls and observations."""
