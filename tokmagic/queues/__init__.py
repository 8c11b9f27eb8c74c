"""Where calls wait before they are sent: the gate of a model nothing is known of, and the queue before the book."""
