select * from tidegate.discover()
