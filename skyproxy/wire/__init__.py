"""HTTP on the wire, both sides: what is faster or stricter than twisted.web, behind twisted.web's own interfaces."""
