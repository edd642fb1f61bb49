from brittle.command_line import main

if __name__ == "__main__":
    main("app")
