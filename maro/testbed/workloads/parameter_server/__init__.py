"""A server keeps the weights of a regression; its workers send gradients without waiting for each other."""
