"""What the doors for strawberry and graphene share."""
