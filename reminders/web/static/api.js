// Swagger UI in place of the list that the server drew. It comes from an installed package and asks this server only.
const place = document.getElementById("swagger");
window.SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: false,
  docExpansion: "list",
  validatorUrl: null,
  onComplete: () => {
    document.getElementById("operations").hidden = true;
  },
});
