/* Of the answer that there is no instance. A refresh by the document would end at the name of the open conversation (#…) in the address. */

setTimeout(() => location.reload(), 2_000);
