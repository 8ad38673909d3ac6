"""The pure part of the ledger: values, the rules of posting, the chain, and their audit."""
