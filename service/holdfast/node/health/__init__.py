"""Is this instance healthy, and should new connections come to it?"""
